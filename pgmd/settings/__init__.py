"""What a program says of its endpoint, its replicas and its engine, checked when it is said."""
