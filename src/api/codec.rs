//! How the server side reads and writes messages: as tonic's own codec, but that a body that is not the message is the
//! caller's mistake, that an answer may have been encoded ahead, and that events are counted before there is room made
//! for them: two bytes on the wire can stand for an event, which takes some hundreds in memory.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::proto::v1;
use super::status::{ApiError, status};

/// The most events of one request that are decoded; no limit on a request may be set above it.
pub const MOST_DECODED_EVENTS: usize = crate::limits::DECODED_EVENTS;

/// A message that was encoded ahead, so that one encoding serves many callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    pub fn new(message: &impl Message) -> Encoded {
        Encoded(message.encode_to_vec().into())
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// The events of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsSent {
    /// How many there are on the wire.
    pub sent: usize,
    /// All of them or, where there are more than [`MOST_DECODED_EVENTS`], none.
    pub events: Vec<v1::Event>,
}

/// Writes `Answer`s, reads `Question`s.
#[derive(Debug)]
pub struct MessageCodec<Answer, Question>(PhantomData<(Answer, Question)>);

/// Writes answers encoded ahead, reads `Question`s.
#[derive(Debug)]
pub struct EncodedCodec<Question>(PhantomData<Question>);

/// Writes `Answer`s, reads events.
#[derive(Debug)]
pub struct IngestCodec<Answer>(PhantomData<Answer>);

#[derive(Debug)]
pub struct EventsDecoder;

#[derive(Debug)]
pub struct QuestionDecoder<Question>(PhantomData<Question>);

#[derive(Debug)]
pub struct AnswerEncoder<Answer>(PhantomData<Answer>);

#[derive(Debug)]
pub struct EncodedEncoder;

impl<Answer, Question> Default for MessageCodec<Answer, Question> {
    fn default() -> Self {
        MessageCodec(PhantomData)
    }
}

impl<Question> Default for EncodedCodec<Question> {
    fn default() -> Self {
        EncodedCodec(PhantomData)
    }
}

impl<Answer> Default for IngestCodec<Answer> {
    fn default() -> Self {
        IngestCodec(PhantomData)
    }
}

impl<Answer, Question> Codec for MessageCodec<Answer, Question>
where
    Answer: Message + 'static,
    Question: Message + Default + 'static,
{
    type Encode = Answer;
    type Decode = Question;
    type Encoder = AnswerEncoder<Answer>;
    type Decoder = QuestionDecoder<Question>;

    fn encoder(&mut self) -> Self::Encoder {
        AnswerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        QuestionDecoder(PhantomData)
    }
}

impl<Question: Message + Default + 'static> Codec for EncodedCodec<Question> {
    type Encode = Encoded;
    type Decode = Question;
    type Encoder = EncodedEncoder;
    type Decoder = QuestionDecoder<Question>;

    fn encoder(&mut self) -> Self::Encoder {
        EncodedEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        QuestionDecoder(PhantomData)
    }
}

impl<Answer: Message + 'static> Codec for IngestCodec<Answer> {
    type Encode = Answer;
    type Decode = EventsSent;
    type Encoder = AnswerEncoder<Answer>;
    type Decoder = EventsDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        AnswerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        EventsDecoder
    }
}

impl Decoder for EventsDecoder {
    type Item = EventsSent;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<EventsSent>, Status> {
        EventsSent::read(body.copy_to_bytes(body.remaining())).map(Some).map_err(not_the_message)
    }
}

impl EventsSent {
    /// Reads an `IngestEventsRequest`.
    fn read(body: Bytes) -> Result<EventsSent, prost::DecodeError> {
        let sent = count_events(body.clone())?;
        if sent > MOST_DECODED_EVENTS {
            return Ok(EventsSent { sent, events: Vec::new() });
        }
        let v1::IngestEventsRequest { events } = v1::IngestEventsRequest::decode(body)?;
        Ok(EventsSent { sent: events.len(), events })
    }
}

/// How many times the field `events` of an `IngestEventsRequest` is there, without a look inside.
fn count_events(mut body: Bytes) -> Result<usize, prost::DecodeError> {
    const EVENTS: u32 = 1;
    let mut count = 0;
    while body.has_remaining() {
        let (field, wire_type) = decode_key(&mut body)?;
        count += usize::from(field == EVENTS && wire_type == WireType::LengthDelimited);
        skip_field(wire_type, field, &mut body, DecodeContext::default())?;
    }
    Ok(count)
}

impl<Question: Message + Default> Decoder for QuestionDecoder<Question> {
    type Item = Question;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<Question>, Status> {
        Question::decode(body).map(Some).map_err(not_the_message)
    }
}

fn not_the_message(error: prost::DecodeError) -> Status {
    status(ApiError::NotTheMessage { cause: error.to_string() })
}

impl<Answer: Message> Encoder for AnswerEncoder<Answer> {
    type Item = Answer;
    type Error = Status;

    fn encode(&mut self, answer: Answer, body: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // The one way to fail is a buffer that cannot grow, which this one can.
        answer.encode(body).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Encoder for EncodedEncoder {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, Encoded(bytes): Encoded, body: &mut EncodeBuf<'_>) -> Result<(), Status> {
        body.put(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many events with nothing in them, two bytes each.
    fn read(events: usize) -> EventsSent {
        EventsSent::read([0x0a, 0].repeat(events).into()).unwrap()
    }

    #[test]
    fn events_are_counted_before_room_is_made_for_them() {
        for count in [0, 1, 3, MOST_DECODED_EVENTS] {
            let read = read(count);
            assert_eq!((read.sent, read.events.len()), (count, count));
        }
        // As many as fit into the largest message.
        for count in [MOST_DECODED_EVENTS + 1, 2 << 20] {
            let read = read(count);
            assert_eq!((read.sent, read.events.capacity()), (count, 0));
        }
    }

    #[test]
    fn fields_that_a_later_version_adds_are_passed_over() {
        let mut body = v1::IngestEventsRequest { events: vec![v1::Event::default()] }.encode_to_vec();
        body.extend([0x10, 0x05]);
        assert_eq!(EventsSent::read(body.into()).unwrap().sent, 1);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for body in [&[0xff; 10][..], &[0x0a, 0x05, 0x00], &[0x0a]] {
            assert!(EventsSent::read(Bytes::copy_from_slice(body)).is_err());
        }
    }
}
