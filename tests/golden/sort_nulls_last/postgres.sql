SELECT concat('{"name":', to_json(t0."name")::text, ',"rating":', coalesce((t0."rating")::text, 'null'), '}'), (t0."rating")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."kind" = $3::text)
ORDER BY t0."rating", t0."id"
LIMIT $4::bigint
