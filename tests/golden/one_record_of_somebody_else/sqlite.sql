SELECT concat('{"number":', t0."number", '}'), t0."_version"
FROM "orders" AS t0
WHERE (t0."customer_id" = ?1
  AND t0."id" = ?2)
