"""What a run says about itself: metric names, records and their writers, progress, tables."""
