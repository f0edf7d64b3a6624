"""From what is observed to what is desired: the steps of Deploy, Repair, Scale and Delete."""
