//! What the two ends of the stream put in and take out. Batches stay bytes.

use super::super::proto::Acknowledgement;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A value as one gRPC message.
pub trait Frame: Sized + Send + Sync + 'static {
    fn put(self, out: &mut EncodeBuf<'_>);
    fn take(input: &mut DecodeBuf<'_>) -> Result<Self, Status>;
}

impl Frame for Vec<u8> {
    fn put(self, out: &mut EncodeBuf<'_>) {
        out.put_slice(&self);
    }

    fn take(input: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        let mut bytes = vec![0; input.remaining()];
        input.copy_to_slice(&mut bytes);
        Ok(bytes)
    }
}

impl Frame for Acknowledgement {
    fn put(self, out: &mut EncodeBuf<'_>) {
        // Fails for lack of room only, and this buffer grows.
        out.put_slice(&self.encode_to_vec());
    }

    fn take(input: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        Acknowledgement::decode(input).map_err(|e| Status::internal(e.to_string()))
    }
}

/// Sends `Out`, receives `In`.
#[derive(Debug)]
pub struct FrameCodec<Out, In>(PhantomData<(Out, In)>);

impl<Out, In> FrameCodec<Out, In> {
    pub fn new() -> Self {
        FrameCodec(PhantomData)
    }
}

impl<Out: Frame, In: Frame> Codec for FrameCodec<Out, In> {
    type Encode = Out;
    type Decode = In;
    type Encoder = FrameCodec<Out, In>;
    type Decoder = FrameCodec<Out, In>;

    fn encoder(&mut self) -> Self::Encoder {
        FrameCodec::new()
    }

    fn decoder(&mut self) -> Self::Decoder {
        FrameCodec::new()
    }
}

impl<Out: Frame, In: Frame> Encoder for FrameCodec<Out, In> {
    type Item = Out;
    type Error = Status;

    fn encode(&mut self, item: Out, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(out);
        Ok(())
    }
}

impl<Out: Frame, In: Frame> Decoder for FrameCodec<Out, In> {
    type Item = In;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<In>, Status> {
        In::take(input).map(Some)
    }
}
