"""Image operations of the hot path: one contract (`anpr.ops.contract`), one module per backend that fulfils it."""
