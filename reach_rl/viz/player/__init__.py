"""The policy on a page: the arm in 3-D, its goal dragged by mouse."""
