"""Vote statistics, disqualification, and the planner."""
