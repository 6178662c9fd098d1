"""Films of judged episodes: from two sides, with the goal, the errors and the outcome in words.

evaluation.recording --Episode--> Film --> a process of its own: render, overlay, encode --> MP4
"""
