SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1), max(k1) FILTER (WHERE n = $6::bigint - 1), max(k2) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"weight":', CASE WHEN t0."weight" IS NULL THEN 'null' ELSE concat('"', round((t0."weight")::numeric, 3), '"') END, '}') AS j, (t0."weight")::text AS k0, (t0."name")::text AS k1, (t0."id")::text AS k2
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
    LIMIT $6::bigint) AS page) AS numbered
