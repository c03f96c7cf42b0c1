//! loralab-experiment
