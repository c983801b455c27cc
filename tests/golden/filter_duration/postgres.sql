SELECT string_agg(j, chr(30)) FILTER (WHERE n < $4::bigint), count(*), max(k0) FILTER (WHERE n = $4::bigint - 1), max(k1) FILTER (WHERE n = $4::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"brewing":', CASE WHEN t0."brewing" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t0."brewing" < 0 THEN '-' ELSE '' END, 'PT', abs(t0."brewing") / 1000000, CASE WHEN abs(t0."brewing") % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(t0."brewing") % 1000000)::text, 6, '0') END, 'S"') END, '}') AS j, (t0."brewing")::text AS k0, (t0."id")::text AS k1
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."brewing" <= $3::bigint)
    ORDER BY t0."brewing", t0."id"
    LIMIT $4::bigint) AS page) AS numbered
