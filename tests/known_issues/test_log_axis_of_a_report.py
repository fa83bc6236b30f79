"""Ticks of a logarithmic axis on the report page were formulas (`\\mathdefault{10^{-3}}`), which nothing reads."""

from slm_espnet.report.charts import Line, curves


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    drawing = str(curves("lr", "learning rate", [Line("learning rate", [1, 2, 3], [2e-3, 1e-3, 2e-5], "#000000")]))
    assert "mathdefault" not in drawing and ">0.001<" in drawing and ">0.0001<" in drawing
