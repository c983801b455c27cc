SELECT string_agg(j, chr(30)) FILTER (WHERE n < $4::bigint), count(*), max(k0) FILTER (WHERE n = $4::bigint - 1), max(k1) FILTER (WHERE n = $4::bigint - 1), max(k2) FILTER (WHERE n = $4::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", ',"placed_at":"', to_char((t0."placed_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","customer":{"city":', coalesce((to_json(t2."city"))::text, 'null'), '}}') AS j, ((SELECT t1."city"
        FROM "customers" AS t1
        WHERE t1."id" = t0."customer_id"))::text AS k0, (t0."placed_at")::text AS k1, (t0."id")::text AS k2
    FROM "orders" AS t0
    LEFT JOIN "customers" AS t2 ON t2."id" = t0."customer_id"
    WHERE ((SELECT t1."city"
        FROM "customers" AS t1
        WHERE t1."id" = t0."customer_id") > $1::text::text
      OR (SELECT t1."city"
        FROM "customers" AS t1
        WHERE t1."id" = t0."customer_id") IS NULL
      OR ((SELECT t1."city"
          FROM "customers" AS t1
          WHERE t1."id" = t0."customer_id") = $1::text::text
        AND t0."placed_at" < $2::text::timestamptz)
      OR ((SELECT t1."city"
          FROM "customers" AS t1
          WHERE t1."id" = t0."customer_id") = $1::text::text
        AND t0."placed_at" = $2::text::timestamptz
        AND t0."id" < $3::text::uuid))
    ORDER BY (SELECT t1."city"
      FROM "customers" AS t1
      WHERE t1."id" = t0."customer_id"), t0."placed_at" DESC, t0."id" DESC
    LIMIT $4::bigint) AS page) AS numbered
