//! Room (in work).
