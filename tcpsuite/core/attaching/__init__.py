"""A connection that outlives what carries it: what is kept, what has arrived, and the frames that tell."""
