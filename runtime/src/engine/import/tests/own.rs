//! Scales that the file states.
