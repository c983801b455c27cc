SELECT string_agg(j, chr(30)) FILTER (WHERE n < $5::bigint), count(*), max(k0) FILTER (WHERE n = $5::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"harvested":', CASE WHEN t0."harvested" IS NULL THEN 'null' ELSE concat('"', t0."harvested", '"') END, ',"released_at":', CASE WHEN t0."released_at" IS NULL THEN 'null' ELSE concat('"', to_char((t0."released_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '"') END, '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."harvested" < $3::date
      AND t0."released_at" > $4::timestamptz)
    ORDER BY t0."id"
    LIMIT $5::bigint) AS page) AS numbered
