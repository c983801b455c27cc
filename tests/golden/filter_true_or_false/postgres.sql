SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"fair_trade":', CASE WHEN t0."fair_trade" THEN 'true' WHEN NOT t0."fair_trade" THEN 'false' ELSE 'null' END, '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."fair_trade" = $3::boolean
      AND CASE WHEN t0."stock" > $4::bigint THEN TRUE ELSE FALSE END = $5::boolean)
    ORDER BY t0."id"
    LIMIT $6::bigint) AS page) AS numbered
