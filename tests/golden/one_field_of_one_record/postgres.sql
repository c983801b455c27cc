SELECT concat('{"name":', to_json(t0."name"), '}'), t0."_version"
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."id" = $3::uuid)
