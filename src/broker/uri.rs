//! Broker addresses whose password never reaches an output.
