"""How a box says that it is well: a report, its forms for people and for Prometheus, and the ways out to them."""
