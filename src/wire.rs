//! Room 4: the message schema of flow batches, and the two ways they take to the receiver: gRPC over TLS
//! and NATS JetStream. What batches mean is [`crate::flow`]'s, where they are kept is `store`'s.
