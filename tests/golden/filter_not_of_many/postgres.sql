SELECT concat('{"name":', to_json(t0."name")::text, '}'), (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND NOT (t0."stock" > $3::bigint)
  AND NOT coalesce(t0."rating" >= $4::float8, FALSE)
  AND t0."subtitle" IS NULL)
ORDER BY t0."id"
LIMIT $5::bigint
