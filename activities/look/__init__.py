"""The look at an App: what is wanted beside what runs, for the planner; and what was recorded, found out again."""
