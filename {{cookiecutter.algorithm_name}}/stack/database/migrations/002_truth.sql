-- Template: What turned out to be true, which is known later than the prediction.
create table truth (
    inference_id text not null,    -- where the client gave none, the event's id
    row integer not null default 0,
    value jsonb not null,
    at timestamptz not null default now(),
    primary key (inference_id, row)
);
create index predictions_id on predictions (coalesce(inference_id, event_id), row);

create view outcomes as
select predictions.*, truth.value as truth, truth.at as truth_at
from predictions
left join truth on truth.inference_id = coalesce(predictions.inference_id, predictions.event_id)
    and truth.row = predictions.row;
