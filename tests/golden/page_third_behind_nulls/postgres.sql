SELECT concat('{"name":', to_json(t0."name")::text, ',"weight":', coalesce('"' || round((t0."weight")::numeric, 3)::text || '"', 'null'), '}'), (t0."weight")::text, (t0."name")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND (t0."weight" > $3::text::numeric
    OR t0."weight" IS NULL
    OR (t0."weight" = $3::text::numeric
      AND t0."name" < $4::text::text)
    OR (t0."weight" = $3::text::numeric
      AND t0."name" = $4::text::text
      AND t0."id" < $5::text::uuid)))
ORDER BY t0."weight", t0."name" DESC, t0."id" DESC
LIMIT $6::bigint
