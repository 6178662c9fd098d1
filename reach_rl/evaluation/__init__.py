"""The protocol on held-out goals, its statistics, and the inverse-kinematics yardstick."""
