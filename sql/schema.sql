-- The two tables that the service reads, as the telephony database has them.
CREATE TABLE agentfeatures (
  id serial PRIMARY KEY,
  numgroup integer NOT NULL,
  firstname varchar(128) NOT NULL DEFAULT '',
  lastname varchar(128) NOT NULL DEFAULT '',
  number varchar(40) NOT NULL UNIQUE,
  passwd varchar(128) NOT NULL,
  context varchar(39) NOT NULL,
  language varchar(20) NOT NULL,
  autologoff integer,
  "group" varchar(255),
  description text NOT NULL,
  preprocess_subroutine varchar(40)
);

CREATE TABLE agent_login_status (
  agent_id integer PRIMARY KEY,
  agent_number varchar(40) NOT NULL,
  extension varchar(80) NOT NULL,
  context varchar(80) NOT NULL,
  interface varchar(128) NOT NULL UNIQUE,
  state_interface varchar(128) NOT NULL,
  login_at timestamp NOT NULL DEFAULT now(),
  UNIQUE (extension, context)
);
