"""Human feedback as data: a database of labels, files of labels, and the layouts in use on the hub."""
