"""Writes testdata/onnx_teacher: classifiers in ONNX whose logits are known by hand. Needs the packages onnx and numpy.

python reference/onnx_teacher.py testdata/onnx_teacher
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write(path, batch, side):
    """Logit k is (k + 1) times the mean of channel k modulo 3, minus k."""
    weight = np.zeros((4, 3), np.float32)
    for k in range(4):
        weight[k, k % 3] = k + 1
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"], transB=1),
        ],
        "means",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 4])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(-np.arange(4, dtype=np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
write(folder / "means.onnx", "batch", "side")
write(folder / "fixed.onnx", 2, 4)
