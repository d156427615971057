"""Running what a model wrote: Linux namespaces by bubblewrap, resource limits, a system-call filter."""
