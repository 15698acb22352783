-- Template: One row for each predicted row of a captured request.
create table predictions (
    event_id text not null,
    row integer not null,          -- of the request, from 0
    inference_id text,             -- given by the client
    request_id text,
    model text,                    -- the digest of the model's manifest.json
    endpoint text,
    at timestamptz not null,
    status integer,                -- 200, or why the request was refused
    content_type text,             -- of the request
    input jsonb,
    output jsonb,
    primary key (event_id, row)
);
create index predictions_at on predictions (at);

-- How much of each file has been loaded.
create table loaded (
    file text primary key,
    bytes bigint not null,
    at timestamptz not null default now()
);
