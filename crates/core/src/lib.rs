//! loralab-core
