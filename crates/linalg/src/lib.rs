//! loralab-linalg
