"""From what is observed to what is desired: the look at an App, and the steps of Deploy, Repair, Scale and Delete."""
