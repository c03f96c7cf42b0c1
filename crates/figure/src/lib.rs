//! loralab-figure
