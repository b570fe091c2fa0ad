mod book;
mod gate;
mod jwt;
mod mint;
