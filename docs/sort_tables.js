// A click on the head of a column sorts a table by it: by the first number of each cell, or else by its text.
document$.subscribe(() => {
  for (const head of document.querySelectorAll(".md-typeset table th")) {
    head.style.cursor = "pointer";
    head.title = "sort";
    head.addEventListener("click", () => {
      const body = head.closest("table").tBodies[0];
      const column = head.cellIndex;
      const descending = head.dataset.order !== "descending";
      head.dataset.order = descending ? "descending" : "ascending";
      const key = (row) => row.cells[column].textContent.trim();
      const number = (text) => Number.parseFloat(text.replace(/,(?=\d{3})/g, "").replace(/^[^\d+-]*/, ""));
      const order = (a, b) => {
        const [x, y] = [number(a), number(b)];
        return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
      };
      const rows = [...body.rows].sort((a, b) => order(key(a), key(b)));
      body.append(...(descending ? rows.reverse() : rows));
    });
  }
});
