//! loralab-cpu
