//! Counters and histograms of one core, and the one table of their names.
