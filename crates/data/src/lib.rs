//! loralab-data
