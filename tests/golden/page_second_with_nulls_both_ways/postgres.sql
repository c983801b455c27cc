SELECT concat('{"name":', to_json(t0."name")::text, ',"rating":', coalesce((t0."rating")::text, 'null'), ',"stock":', (t0."stock")::text, '}'), (t0."rating")::text, (t0."stock")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND (t0."rating" < $3::text::float8
    OR (t0."rating" = $3::text::float8
      AND t0."stock" > $4::text::bigint)
    OR (t0."rating" = $3::text::float8
      AND t0."stock" = $4::text::bigint
      AND t0."id" > $5::text::uuid)))
ORDER BY t0."rating" DESC, t0."stock", t0."id"
LIMIT $6::bigint
