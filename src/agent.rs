//! Room 5: one per node. Runs the sources, makes batches of what they see, and sees to it that these
//! arrive: in order, once, and after any interruption.
