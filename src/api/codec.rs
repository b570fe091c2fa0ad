//! How the server side reads and writes messages: as tonic's own codec, but that a body that is not the message is the
//! caller's mistake, and that an answer may have been encoded ahead.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::status::{ApiError, status};

/// What a question is read into, and an answer written into, at first: most fit, and what is larger grows.
const QUESTION_BUFFER_BYTES: usize = 256;
const ANSWER_BUFFER_BYTES: usize = 1024;

/// What events are read into at first. One fits; how long a message is stands before it, so that more are made room for at
/// once.
const EVENTS_BUFFER_BYTES: usize = 1024;

/// A message in its encoded form: an answer that was encoded ahead, so that one encoding serves many callers, or a
/// question that is read off the wire later, without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    pub fn new(message: &impl Message) -> Encoded {
        Encoded(message.encode_to_vec().into())
    }

    /// In another form than the contract's.
    pub fn of_text(text: Vec<u8>) -> Encoded {
        Encoded(text.into())
    }

    /// In the contract's form, as written by hand.
    pub(super) fn of_bytes(message: Vec<u8>) -> Encoded {
        Encoded(message.into())
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Writes `Answer`s, reads `Question`s.
#[derive(Debug)]
pub struct MessageCodec<Answer, Question>(PhantomData<(Answer, Question)>);

/// Writes answers encoded ahead, reads `Question`s.
#[derive(Debug)]
pub struct EncodedCodec<Question>(PhantomData<Question>);

/// Writes `Answer`s, leaves questions encoded.
#[derive(Debug)]
pub struct UnreadCodec<Answer>(PhantomData<Answer>);

#[derive(Debug)]
pub struct UnreadDecoder;

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

impl<Answer> Default for UnreadCodec<Answer> {
    fn default() -> Self {
        UnreadCodec(PhantomData)
    }
}

impl<Answer: Message + 'static> Codec for UnreadCodec<Answer> {
    type Encode = Answer;
    type Decode = Encoded;
    type Encoder = AnswerEncoder<Answer>;
    type Decoder = UnreadDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        AnswerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        UnreadDecoder
    }
}

impl Decoder for UnreadDecoder {
    type Item = Encoded;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(EVENTS_BUFFER_BYTES, EVENTS_BUFFER_BYTES)
    }

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<Encoded>, Status> {
        Ok(Some(Encoded(body.copy_to_bytes(body.remaining()))))
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

impl<Question: Message + Default> Decoder for QuestionDecoder<Question> {
    type Item = Question;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(QUESTION_BUFFER_BYTES, QUESTION_BUFFER_BYTES)
    }

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

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(ANSWER_BUFFER_BYTES, ANSWER_BUFFER_BYTES)
    }

    fn encode(&mut self, answer: Answer, body: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // The one way to fail is a buffer that cannot grow, which this one can.
        answer.encode(body).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Encoder for EncodedEncoder {
    type Item = Encoded;
    type Error = Status;

    /// Nothing is held between two messages, of which there is never a second one at once: a stream holds its buffer for
    /// as long as it lasts.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(0, 0)
    }

    fn encode(&mut self, Encoded(bytes): Encoded, body: &mut EncodeBuf<'_>) -> Result<(), Status> {
        body.put(bytes);
        Ok(())
    }
}
