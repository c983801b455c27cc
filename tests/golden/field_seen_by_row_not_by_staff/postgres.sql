SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", ',"note":', coalesce((to_json(CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END))::text, 'null'), '}') AS j, (t0."id")::text AS k0
    FROM "orders" AS t0
    WHERE CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END IS NOT NULL
    ORDER BY t0."id"
    LIMIT $2::bigint) AS page) AS numbered
