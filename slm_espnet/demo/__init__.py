"""A page in the browser to talk to a trained model; the command is slm_espnet.bin.demo.

forms: what a task asks for besides speech; dialog: what was said before; turn: one question and its answer; drawing:
the picture of what was heard; show: the rest as HTML. None of these knows the browser. page: where things stand and
what they do; server: how the page is served. Only those two need Gradio.
"""
