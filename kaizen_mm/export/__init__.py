"""Recurrent networks as graphs for other programs; needs torch, and for ONNX onnx, onnxscript and onnxruntime."""

from kaizen_mm.export.formats import FORMATS, export_network
from kaizen_mm.export.networks import Logits

__all__ = ['FORMATS', 'Logits', 'export_network']
