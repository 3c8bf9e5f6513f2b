//! Room 5: one per cluster. So far the receiver of what agents send.
