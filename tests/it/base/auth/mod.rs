mod brake;
mod login;
