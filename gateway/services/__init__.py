"""One module for each .proto file that has a service; a method parses, asks the desk for the adapter, and answers."""
